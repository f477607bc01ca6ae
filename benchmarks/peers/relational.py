"""Completion and co-occurrence as joins, in DuckDB and Polars.

DuckDB: https://duckdb.org/docs/stable/guides/performance/how_to_tune_workloads (no insertion order
to keep, threads set) and https://duckdb.org/docs/stable/guides/python/import_arrow (Arrow is
scanned in place). Polars: https://docs.pola.rs/user-guide/concepts/streaming/ (the streaming
engine). A support's worth is one number as in `mlimages.labels.derivation.ranks`: one `max` finds
the strongest.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from mlimages.labels.sparse import Upward

ITSELF, CONFIDENCE, EDGES, LAST = 1 << 61, 1 << 32, 1 << 24, (1 << 24) - 1


def closure_table(above: Upward) -> pa.Table:
    """category, ancestor and edges of every pair, a category with itself included."""
    sizes = np.diff(above.indptr)
    categories = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    edges = above.edges.astype(np.int64)
    return pa.table({"category": categories, "ancestor": above.ancestors, "edges": edges})


def closure_lists(above: Upward) -> pa.Table:
    """category, and a list of (ancestor, edges)."""
    values = pa.StructArray.from_arrays(
        [pa.array(above.ancestors), pa.array(above.edges.astype(np.int64))], ["ancestor", "edges"]
    )
    lists = pa.ListArray.from_arrays(pa.array(above.indptr.astype(np.int32)), values)
    return pa.table({"category": np.arange(len(above.indptr) - 1, dtype=np.int32), "up": lists})


def duckdb_connection():
    """Two threads, and memory enough for the largest size."""
    import duckdb

    connection = duckdb.connect()
    connection.execute("SET threads = 2; SET preserve_insertion_order = false")
    return connection


def duckdb_completion(
    facts: pa.Table, above: Upward, form: str, path: Path | None = None
) -> pa.Table | None:
    """row, category, confidence, reason, because: sorted by row, then category.

    Args:
        form: "join" with the pairs, or "unnest" of lists.
        path: a Parquet file to write them to, instead of returning them.
    """
    connection = duckdb_connection()
    connection.register("facts", facts)
    connection.register("closure", closure_table(above))
    connection.register("lists", closure_lists(above))
    if form == "join":
        supports = (
            "SELECT f.row, f.category AS below, f.confidence, c.ancestor, c.edges "
            "FROM facts f JOIN closure c USING (category)"
        )
    else:
        supports = (
            "SELECT row, below, confidence, u.ancestor AS ancestor, u.edges AS edges FROM (SELECT "
            "f.row, f.category AS below, f.confidence, unnest(l.up) AS u "
            "FROM facts f JOIN lists l USING (category))"
        )
    rank = (
        f"(ancestor = below)::BIGINT * {ITSELF} + (confidence * 1000000)::BIGINT * {CONFIDENCE}"
        f" + (255 - edges) * {EDGES} + ({LAST} - below)"
    )
    query = f"""
        SELECT row, category, confidence,
            CASE WHEN worth >= {ITSELF} THEN 0 ELSE 1 END::TINYINT AS reason,
            ({LAST} - worth % {EDGES})::INTEGER AS because
        FROM (
            SELECT row, ancestor AS category, max(confidence) AS confidence, max({rank}) AS worth
            FROM ({supports}) GROUP BY row, ancestor
        ) ORDER BY row, category"""
    if path is not None:
        connection.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)")
        return None
    return connection.sql(query).to_arrow_table()


def duckdb_pairs(
    facts: pa.Table, predictions: pa.Table, single: int, above: Upward, form: str
) -> pa.Table:
    """cause, effect, images, predicted, ratio of the strong pairs, by cause, then effect.

    Args:
        single: rows before are of the single-label part.
        form: "join" everything at once, or "filter" what takes part into tables first.
    """
    connection = duckdb_connection()
    connection.register("facts", facts)
    connection.register("predictions", predictions)
    connection.register("closure", closure_table(above))
    kept = "MATERIALIZED" if form == "filter" else "NOT MATERIALIZED"
    query = f"""
        WITH causes AS {kept} (SELECT row, category AS cause FROM facts WHERE row < {single}),
        effects AS {kept} (SELECT DISTINCT category FROM facts WHERE row >= {single}),
        shown AS {kept} (
            SELECT row, category AS effect FROM predictions
            WHERE probability > 0.95::DOUBLE AND category IN (SELECT category FROM effects)
        ),
        sizes AS (SELECT cause, count(*) AS images FROM causes GROUP BY cause),
        pairs AS (
            SELECT cause, effect, count(*) AS predicted FROM causes JOIN shown USING (row)
            GROUP BY cause, effect
        )
        SELECT cause, effect, images, predicted, ratio FROM (
            SELECT cause, effect, images, predicted, predicted / images AS ratio
            FROM pairs JOIN sizes USING (cause) WHERE predicted / images > 0.5
        ) p
        ANTI JOIN closure c ON p.cause = c.category AND p.effect = c.ancestor
        ANTI JOIN closure d ON p.effect = d.category AND p.cause = d.ancestor
        ORDER BY cause, effect"""
    return connection.sql(query).to_arrow_table()


def polars_completion(facts: pa.Table, above: Upward) -> pa.Table:
    """As `duckdb_completion`."""
    import polars as pl

    col = pl.col
    rank = (
        (col("ancestor") == col("category")).cast(pl.Int64) * ITSELF
        + (col("confidence") * 1e6).round().cast(pl.Int64) * CONFIDENCE
        + (255 - col("edges")) * EDGES
        + (LAST - col("category").cast(pl.Int64))
    )
    found = (
        pl.from_arrow(facts)
        .lazy()
        .join(pl.from_arrow(closure_table(above)).lazy(), on="category")
        .with_columns(worth=rank)
        .group_by("row", "ancestor")
        .agg(col("confidence").max(), col("worth").max())
        .sort("row", "ancestor")
        .select(
            col("row"),
            col("ancestor").alias("category"),
            col("confidence"),
            (col("worth") < ITSELF).cast(pl.Int8).alias("reason"),
            (LAST - col("worth") % EDGES).cast(pl.Int32).alias("because"),
        )
    )
    return found.collect(engine="streaming").to_arrow()


def polars_pairs(facts: pa.Table, predictions: pa.Table, single: int, above: Upward) -> pa.Table:
    """As `duckdb_pairs`."""
    import polars as pl

    col = pl.col
    said = pl.from_arrow(facts).lazy()
    causes = said.filter(col("row") < single).select("row", cause="category")
    effects = said.filter(col("row") >= single).select(effect="category").unique()
    closure = pl.from_arrow(closure_table(above)).lazy()
    shown = (
        pl.from_arrow(predictions)
        .lazy()
        .filter(col("probability").cast(pl.Float64) > 0.95)
        .select("row", effect="category")
        .join(effects, on="effect", how="semi")
    )
    found = (
        causes.join(shown, on="row")
        .group_by("cause", "effect")
        .agg(pl.len().cast(pl.Int64).alias("predicted"))
        .join(causes.group_by("cause").agg(pl.len().cast(pl.Int64).alias("images")), on="cause")
        .with_columns(ratio=col("predicted") / col("images"))
        .filter(col("ratio") > 0.5)
        .join(closure, left_on=["cause", "effect"], right_on=["category", "ancestor"], how="anti")
        .join(closure, left_on=["effect", "cause"], right_on=["category", "ancestor"], how="anti")
        .select("cause", "effect", "images", "predicted", "ratio")
        .sort("cause", "effect")
    )
    return found.collect(engine="streaming").to_arrow()
