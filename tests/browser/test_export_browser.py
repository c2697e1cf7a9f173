"""Chapter 7's files in a real Chromium: the vendored runtime gives the scores of ONNX Runtime here."""

import numpy as np

from neurolab import assistant
from neurolab.export import onnx_file
from neurolab.export.decoder import Decoder
from neurolab.sweeps import export_browser


def test_a_browser_gives_this_processor_s_scores():
    decoder = Decoder(assistant.load().model)
    models = {name: onnx_file.model(decoder, name) for name in ("fp32", "int8", "int4")}
    some = {name: models[name].SerializeToString() for name in ("fp32", "int8", "int4")}
    times, logits, version = export_browser.in_browser(some, "step", rounds=2, fill=1)
    assert version.startswith("Chromium ")
    for name, bytes_ in some.items():
        ours = export_browser.here(onnx_file.step_of(onnx_file.session(bytes_)), "step")
        off = np.abs(logits[name] - ours).max()
        assert off < (1e-3 if name == "fp32" else 2.0)
        assert logits[name].argmax() == ours.argmax()
        assert len(times[name]) == 2
        assert min(times[name]) > 0
