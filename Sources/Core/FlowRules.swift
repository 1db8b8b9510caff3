// The constants of forwarding, each with the measurement that chose it. Those of pipes are with
// their limits (`PipeShare`).

/// The constants a flow decides by. Beside each what was measured: medians of interleaved runs on
/// a loopback that nobody paces.
public struct FlowRules: Sendable {
  /// One read of the copying way: the size of a worker's buffer. CPU time per GB of one stream that
  /// is copied with 16, 32, 64, 128, 256 KiB: 523, 336, 301, 234, 211 ms. But bulk is spliced, at
  /// no size of the buffer for less; and with 64 KiB exchanges of 80 KiB, seldom bulk then, cost
  /// 43 ms per 1,000 instead of 31.
  public var bufferBytes: Int32 = 32 * 1024
  /// One fill of a pipe. A pipe is full when its slots are, and a slot may hold 32 KiB: as much as
  /// the largest pipe's capacity (`PipeShare`). CPU time per GB of one stream with 256, 512 KiB,
  /// 1 MiB: 124, 109, 99 ms; of more streams no difference.
  public var fillBytes: Int32 = 1024 * 1024
  /// What one direction may move before the others have their turn. 64 exchanges beside a stream:
  /// p99 with 256 KiB, 1 MiB, 4 MiB: 3.7, 3.2, 2.9 ms, no further apart than runs of the same are;
  /// the CPU time per GB of one stream: 100, 101, 104 ms. Of 16 streams after 1, 2, 4 MiB: 124, 97,
  /// 95 ms, for a client whose window is seldom full sends in its own time; but MB/s, by writes of
  /// 1 MiB: 6,181, 6,534, 6,226; of 256 KiB, in two runs: 6,280 and 6,038; 6,164 and 5,101.
  public var turnBytes: Int32 = 1024 * 1024
  /// How many more full reads than short ones make a flow bulk. CPU time per GB of 200 streams
  /// after 3, 5, 8: 161, 165, 171 ms; of 600: 234, 226, 252; per 1,000 exchanges of 80 KiB: 30,
  /// 32, 29. When a short read took back all full ones: 192, 292 and 45 ms after 8.
  public var promoteAfter: UInt8 = 5
  /// Fills in a row below `smallFillBytes` that make it small again. CPU time per GB of 16 streams
  /// after 2, 4: 168, 147 ms; of 200: 170, 174; of 600: 206, 229.
  public var demoteAfter: UInt8 = 2
  /// With 16, 32 KiB, for the same streams: 168, 139 ms; 170, 173; 206, 228.
  public var smallFillBytes: Int32 = 16 * 1024
  public var transfer = Settings.TransferPolicy.automatic

  public init() {}
}
