"""What users write: ops, graphs, jobs and what they need; frozen once made."""
