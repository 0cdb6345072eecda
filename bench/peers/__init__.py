"""The servers that a user might pick instead, each written as its own documentation shows.

All of them run the same ONNX file and read images with the same functions, except Flask, which
shows what ``keras.predict`` costs. What may be tuned is tried out in a short run beforehand
(``bench.targets`` lists the candidates), so that each is measured with its best settings here.
"""
