"""Run folders: Parquet out, DuckDB in. The schema is declared once, in `schema.py`.

`writer.RunWriter` writes a run, `run.Run` reads it, `query` asks it in SQL, `report` shows it on one page.
"""
