"""The page on which a mask is drawn by hand: what it draws on, the page itself, and the server that shows it."""
