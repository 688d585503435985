"""Pictures for people: overlays, contact sheets, plots and videos, of results and of what a method goes through."""
