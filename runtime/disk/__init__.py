"""Files of a service: whole or absent, private, and what it means when the disk refuses one."""
