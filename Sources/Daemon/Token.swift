// What a poller's events are about, packed into the 64 bits that epoll gives back.

enum Token {
  case connection(slot: UInt32, generation: UInt32, isUpstream: Bool)
  case listener(Int)
  case wake
  /// A client that another worker accepted and hands over.
  case arrival(UnsafeMutablePointer<Arrival>)

  static let generationMask: UInt32 = 0x0fff_ffff

  // Bits 60 to 63 say which; a slot or a number is below, a generation above it. An address has
  // less than 60 bits.
  private enum Kind: UInt64 {
    case client, upstream, listener, wake, arrival
  }

  var bits: UInt64 {
    switch self {
    case .connection(let slot, let generation, let isUpstream):
      Self.pack(isUpstream ? .upstream : .client, generation, slot)
    case .listener(let index): Self.pack(.listener, 0, UInt32(index))
    case .wake: Self.pack(.wake, 0, 0)
    case .arrival(let client):
      Kind.arrival.rawValue << 60 | UInt64(UInt(bitPattern: client))
    }
  }

  init(bits: UInt64) {
    let low = UInt32(truncatingIfNeeded: bits)
    let middle = UInt32(truncatingIfNeeded: bits >> 32) & Self.generationMask
    switch Kind(rawValue: bits >> 60) {
    case .client: self = .connection(slot: low, generation: middle, isUpstream: false)
    case .upstream: self = .connection(slot: low, generation: middle, isUpstream: true)
    case .listener: self = .listener(Int(low))
    case .wake: self = .wake
    case .arrival:
      self = .arrival(UnsafeMutablePointer(bitPattern: UInt(bits & (1 << 60 - 1)))!)
    case nil: preconditionFailure("a token of no kind")
    }
  }

  private static func pack(_ kind: Kind, _ middle: UInt32, _ low: UInt32) -> UInt64 {
    kind.rawValue << 60 | UInt64(middle) << 32 | UInt64(low)
  }
}
