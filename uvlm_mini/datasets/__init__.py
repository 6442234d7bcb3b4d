"""Pictures and captions: scenes drawn by code, COCO in Karpathy's split, and the vocabulary that they share."""
