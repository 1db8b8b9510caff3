// The constants of forwarding, each with the measurement that chose it. Those of pipes are with
// their limits (`PipeShare`).

/// The constants a flow decides by. Beside each what was measured: medians of interleaved runs.
public struct FlowRules: Sendable {
  /// One read of the copying way: the size of a worker's buffer. CPU time per GB of one stream that
  /// is copied with 16, 32, 64, 128 KiB: 699, 431, 494, 502 ms.
  public var bufferBytes: Int32 = 32 * 1024
  /// One fill of a pipe. A pipe is full when its slots are, and a slot may hold 32 KiB: as much as
  /// the largest pipe's capacity (`PipeShare`).
  public var fillBytes: Int32 = 1024 * 1024
  /// What one direction may move before the others have their turn. 64 exchanges beside a stream:
  /// p99 with 256 KiB, 1 MiB, 4 MiB: 5.3, 5.6, 7.6 ms; the stream's CPU per GB: 247, 234, 219 ms.
  public var turnBytes: Int32 = 1024 * 1024
  /// Full reads in a row that make a flow bulk. CPU time per 1,000 exchanges of 256 KiB after
  /// 1, 2, 3, 5, 8: 70, 87, 93, 67, 69 ms; of 1 MiB: 506, 482, 486, 509, 426 ms. The price, per GB
  /// of 600 streams after 3, 5, 8: 247, 324, 308 ms, at 1.76, 1.78, 1.88 GB/s.
  public var promoteAfter: UInt8 = 8
  /// Fills in a row below `smallFillBytes` that make it small again. CPU time per 1,000 exchanges
  /// of 1 MiB after 1, 2, 4: 524, 415, 470 ms.
  public var demoteAfter: UInt8 = 2
  /// With 16, 32, 64 KiB: 415, 427, 508 ms for the same exchanges; 187, 196, 209 ms per GB on 200
  /// streams.
  public var smallFillBytes: Int32 = 16 * 1024
  public var transfer = Settings.TransferPolicy.automatic

  public init() {}
}
