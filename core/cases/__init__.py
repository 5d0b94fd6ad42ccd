"""What was segmented here: cases, their corrections and reviews, kept in database and storage."""
