"""Who may do what: API tokens and their scopes, and the record of what was done with them."""
