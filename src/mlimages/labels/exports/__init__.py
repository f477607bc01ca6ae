"""Writers of other tools' formats: one file a format; `exporting.export` is the way in."""
