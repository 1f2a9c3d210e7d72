try:
    # Your logic here
except Exception as e:
    logger.error(f"Error processing request: {e}")
    raise
