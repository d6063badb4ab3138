"""What Tencent's formats say: request signatures, CAM documents, actions and hosts. Pure, except `client`."""
