"""The gates of the pipeline that no existing tool offers."""
