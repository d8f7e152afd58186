"""How the documentation is made: its generated pages, and the hooks of the site."""
