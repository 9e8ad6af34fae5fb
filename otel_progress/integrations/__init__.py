"""Other people's libraries as levels: one file each, imported only when that library is."""
