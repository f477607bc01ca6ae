"""Packing: checked image bytes into tar shards, an index row for each, a reason for the rest.

sealing      images to sealed shards in a staging folder
staging      sealed shards into a database
blocks       the unit of work: which images, and the same shards whoever packs them
packing      a whole database, block by block
dividing     the same on a Ray cluster, or part by part
inspecting   every byte of every shard against the index
repairing    damaged shards mended, a lost index built again
rewriting    the canonical order, without what was removed
"""
