"""Readers of data sets: files of images and annotations in, records of objects out."""
