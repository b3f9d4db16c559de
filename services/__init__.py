"""The services of Quartermaster: one folder, one process, the same rooms in each."""
