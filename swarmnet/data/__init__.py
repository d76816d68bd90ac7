"""Mixed data: tables, columns, files, statistics, and how rows are split and ordered."""
