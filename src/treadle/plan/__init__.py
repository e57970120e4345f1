"""A job compiled into plain data: what the machine decides by and what travels to workers."""
