"""Image bytes: decoding, packing into shards, reading back, augmentation."""
