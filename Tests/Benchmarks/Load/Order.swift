// The command line: which case, and how much of it.

enum Case: String, CaseIterable {
  case bulkUp = "bulk-up"
  case bulkDown = "bulk-down"
  case roundTrips = "round-trips"
  case connects
  /// As connects, but the client ends first.
  case clientCloses = "client-closes"
  case idleActive = "idle-active"
  case mixed
  case firstByte = "first-byte"

  var isBulk: Bool { self == .bulkUp || self == .bulkDown }
}

/// What every case does before it counts.
let warmUp: Int64 = 200_000_000

/// What `Load run` is asked for.
struct Order {
  let load: Case
  var port: UInt16 = 0
  /// Where it is asked how much has arrived: best at the far end itself, for a forwarder that is
  /// busy with a stream may let the question wait for seconds. `port` unless said otherwise.
  var target: UInt16 = 0
  /// Of first-byte: how many, one after the other.
  var connections: Int
  var idle: Int
  /// Of a message; in bulk, of what is sent and received with one call.
  var size: Int
  /// To measure for; first-byte takes as long as it takes.
  var seconds = 2.0
  var nanoseconds: Int64 { Int64(seconds * 1e9) }

  init(_ load: Case) {
    self.load = load
    idle = load == .idleActive ? 8000 : 0
    switch load {
    // MB/s without a forwarder, on one stream and on 200, in pieces of 64 KiB, 256 KiB, 1 MiB:
    // 5,755 and 6,048, 8,670 and 7,866, 9,819 and 9,297. On a loopback 64 KiB are a segment and 53
    // bytes more, which are a segment of their own.
    case .bulkUp, .bulkDown: (connections, size) = (1, Pattern.longestPiece)
    case .roundTrips: (connections, size) = (1, 128)
    case .connects: (connections, size) = (8, 128)
    case .clientCloses: (connections, size) = (8, Header.length)
    case .idleActive, .mixed: (connections, size) = (64, 128)
    case .firstByte: (connections, size) = (100, Header.length)
    }
  }

  /// Nil when one of the words is no option or not a value of it.
  init?(_ load: Case, options words: ArraySlice<String>) {
    self.init(load)
    var words = words
    while let option = words.popFirst() {
      guard let value = words.popFirst(), set(option, to: value) else { return nil }
    }
    guard port > 0 else { return nil }
    if target == 0 { target = port }
  }

  private mutating func set(_ option: String, to value: String) -> Bool {
    if option == "--seconds" {
      seconds = Double(value) ?? 0
      return 0.01...3600 ~= seconds
    }
    guard let number = Int(value) else { return false }
    switch option {
    case "--port" where 1...65_535 ~= number: port = UInt16(number)
    case "--target" where 1...65_535 ~= number: target = UInt16(number)
    case "--connections" where 1...100_000 ~= number: connections = number
    case "--idle" where 0...100_000 ~= number: idle = number
    case "--size" where Message.shortest...Pattern.longestPiece ~= number: size = number
    case _: return false
    }
    return true
  }
}
