"""Pictures for people: overlays, contact sheets and videos of results and of a method's intermediate maps."""
