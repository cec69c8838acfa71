"""What a resource type, a document and a desire are. Pure declarations: must never do I/O or know a concrete type."""
