"""What `codeforge doctor` looks at: one function for each thing that can be wrong."""
