"""What tasks put out: staged by executors, copied and looked at by us, then visible as tables, models and reports."""
