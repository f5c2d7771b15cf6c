"""What people read: tables of the phase diagram and of the fitted laws."""
