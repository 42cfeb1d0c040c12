"""Schema changes, in order: `NNN_what.sql` leads from schema version NNN-1 to NNN. Never edited once released."""
