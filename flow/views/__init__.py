"""What Flow shows to people and programs: frozen records, and sentences about them. Pure."""
