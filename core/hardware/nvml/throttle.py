"""Why a card's clocks are held down: NVML's bit mask in plain words."""

import pynvml

_WORDS: dict[int, str] = {
    pynvml.nvmlClocksThrottleReasonSwPowerCap: "power cap",
    pynvml.nvmlClocksThrottleReasonHwSlowdown: "hardware slowdown",
    pynvml.nvmlClocksThrottleReasonSwThermalSlowdown: "too warm (driver)",
    pynvml.nvmlClocksThrottleReasonHwThermalSlowdown: "too hot (hardware)",
    pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown: "power brake of the power supply",
    pynvml.nvmlClocksThrottleReasonApplicationsClocksSetting: "application clocks",
    pynvml.nvmlClocksThrottleReasonSyncBoost: "sync boost with a slower card",
    pynvml.nvmlClocksThrottleReasonDisplayClockSetting: "display clocks",
    0x200: "board limit",
    0x400: "voltage limit",
}
HARMFUL = frozenset(
    _WORDS[bit]
    for bit in (
        pynvml.nvmlClocksThrottleReasonHwSlowdown,
        pynvml.nvmlClocksThrottleReasonSwThermalSlowdown,
        pynvml.nvmlClocksThrottleReasonHwThermalSlowdown,
        pynvml.nvmlClocksThrottleReasonHwPowerBrakeSlowdown,
    )
)


def throttle_words(mask: int) -> tuple[str, ...]:
    """The reasons in ``mask``, a reason that is not known as ``reason 0x1000``.

    An idle card is not throttled. Bits: NVML API reference, NvmlClocksEventReasons.
    """
    bits = (1 << position for position in range(mask.bit_length()))
    idle = pynvml.nvmlClocksThrottleReasonGpuIdle
    held = [bit for bit in bits if mask & bit and bit != idle]
    return tuple(_WORDS.get(bit, f"reason {bit:#x}") for bit in held)
