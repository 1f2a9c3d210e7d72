backend = depends(Backend)
