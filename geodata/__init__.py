"""The map: everything that touches files, datums and tables of boundaries."""
