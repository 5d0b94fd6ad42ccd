"""What leaves: tables, pictures, surfaces, pages of a report."""
