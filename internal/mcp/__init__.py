"""What agents may be given: MCP servers of a tenant, of a project, of one task."""
