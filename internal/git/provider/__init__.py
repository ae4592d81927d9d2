"""Pull requests on the sites that host repositories: one protocol, one file per site's API."""
