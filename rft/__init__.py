"""Rejection-sampling fine-tuning (RFT): the library under the pipeline's stages."""
