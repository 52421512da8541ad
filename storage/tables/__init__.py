"""Tables at rest: partitions, the manifest that makes a version visible, and reading and exporting them."""
