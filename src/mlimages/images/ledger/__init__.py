"""The ledger: one state per candidate URL, journalled durably, and what it tells when asked."""

from mlimages.images.ledger.ledger import Ledger
from mlimages.images.ledger.work import Work

__all__ = ["Ledger", "Work"]
