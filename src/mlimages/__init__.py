"""Build, complete, train on and use large multi-label image databases.

An implementation of "Tencent ML-Images: A Large-Scale Multi-Label Image Database for Visual
Representation Learning" (Wu et al., IEEE Access 7, 2019, arXiv 1901.01703), and more.
"""

__version__ = "0.1.0"
