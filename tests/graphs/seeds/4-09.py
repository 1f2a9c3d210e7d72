@service(
    resources={
        "cpu": "10",
        "memory": "20Gi",
        "gpu": "1",  # If needed
    }
)
