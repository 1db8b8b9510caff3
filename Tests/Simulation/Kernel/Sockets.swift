// What belongs to TCP sockets: addresses, options, listeners and their backlogs, and the sockets of
// small servers, whose bytes are bytes.
import CLinux

struct Address: Hashable {
  var high: UInt64 = 0
  var low: UInt64 = 0
  var port: UInt16 = 0

  init() {}

  init(_ raw: linux_address) { (high, low, port) = (raw.high, raw.low, raw.port) }

  init(ipv4: UInt32, port: UInt16) {
    low = 0xffff_0000_0000 | UInt64(ipv4)
    self.port = port
  }

  init(ipv6Low: UInt64, port: UInt16) {
    high = 0x2001_0db8 << 32
    low = ipv6Low
    self.port = port
  }

  var isIPv4: Bool { high == 0 && low >> 32 == 0xffff }
  var isLoopback: Bool { isIPv4 && low >> 24 & 0xff == 127 || high == 0 && low == 1 }
  var raw: linux_address { linux_address(high: high, low: low, port: port) }
  var withoutPort: Address {
    var copy = self
    copy.port = 0
    return copy
  }

  var text: String {
    guard isIPv4 else { return "[\(String(high, radix: 16)):\(String(low, radix: 16))]:\(port)" }
    let bytes = [24, 16, 8, 0].map { String(low >> UInt64($0) & 0xff) }
    return bytes.joined(separator: ".") + ":\(port)"
  }
}

struct Options {
  var keepalive = false
  var keepaliveIdle: Int32 = 7_200
  var keepaliveInterval: Int32 = 75
  var userTimeout: Int32 = 0
  var urgentInline = false
  var noDelay = false
  var acknowledgesAtOnce = true

  mutating func set(_ option: linux_option, _ value: Int32) {
    switch option {
    case LINUX_KEEPALIVE: keepalive = value != 0
    case LINUX_KEEPALIVE_IDLE_SECONDS: keepaliveIdle = value
    case LINUX_KEEPALIVE_INTERVAL_SECONDS: keepaliveInterval = value
    case LINUX_NO_DELAY: noDelay = value != 0
    case LINUX_QUICK_ACKNOWLEDGEMENT: acknowledgesAtOnce = value != 0
    case LINUX_USER_TIMEOUT_MILLISECONDS: userTimeout = value
    case LINUX_URGENT_INLINE: urgentInline = value != 0
    case _: break
    }
  }
}

/// Lengths of segments, the oldest first.
struct Segments {
  private var lengths: [Int] = []
  private var first = 0

  mutating func add(_ count: Int) { lengths.append(count) }

  /// Of the first segment, at most so much.
  mutating func takeOne(_ most: Int) -> Int {
    let count = min(most, lengths[first])
    lengths[first] -= count
    if lengths[first] == 0 { first += 1 }
    if first > 64 {
      lengths.removeFirst(first)
      first = 0
    }
    return count
  }

  mutating func takeAll(_ count: Int) {
    var rest = count
    while rest > 0 { rest -= takeOne(rest) }
  }
}

/// Where a connection is in the daemon's tables, as the tokens say under which its two sockets are
/// watched (Daemon/Token.swift): bits 60 to 63 tell the client's from the target's.
struct Place: Hashable {
  let poller: Int32
  let bits: UInt64

  init?(_ poller: Poller, _ token: UInt64) {
    guard token >> 60 <= 1 else { return nil }
    self.poller = poller.number
    bits = token & (1 << 60 - 1)
  }
}

final class Listener: Object {
  let socket: Stream
  private(set) var waiting: [Stream] = []
  var pages: [Talk] = []
  let port: UInt16
  let isPage: Bool
  /// Of the oldest that waits: since when.
  var waitsSince = Time.never

  init(_ socket: Stream, isPage: Bool) {
    self.socket = socket
    self.isPage = isPage
    port = socket.address.port
  }

  override func readiness() -> UInt32 {
    waiting.isEmpty && pages.isEmpty ? 0 : Ready.input
  }

  func add(_ stream: Stream) {
    stream.options = socket.options
    waiting.append(stream)
    changed()
  }

  func accept(_ peer: UnsafeMutablePointer<linux_address>?) -> Int32 {
    if isPage {
      guard let page = pages.first else { return Code.wouldBlock }
      let number = sim.kernel.install(page)
      if number >= 0 { pages.removeFirst() }
      return number
    }
    guard let first = waiting.first else { return Code.wouldBlock }
    guard first.state == .established || sim.chance.one(in: 2) else {
      waiting.removeFirst()
      sim.reach(.abortedInBacklog)
      return Code.aborted
    }
    let number = sim.kernel.install(first)
    guard number >= 0 else { return number }
    waiting.removeFirst()
    first.acceptedAt = sim.now
    peer?.pointee = first.address.raw
    sim.world.accepted(first)
    return number
  }

  override func close() {
    sim.kernel.listeners.removeAll { $0 === self }
    for stream in waiting where stream.state == .established { stream.sendReset() }
    waiting = []
  }
}

/// An abstract Unix socket that is listened on.
final class LocalListener: Object {
  var waiting: [Talk] = []

  override func readiness() -> UInt32 { waiting.isEmpty ? 0 : Ready.input }

  func accept() -> Int32 {
    guard let first = waiting.first else { return Code.wouldBlock }
    let number = sim.kernel.install(first)
    if number >= 0 { waiting.removeFirst() }
    return number
  }

  override func close() { sim.kernel.localListener = nil }
}

/// A connection to one of the small servers, or to a name server by TCP.
final class Talk: Object {
  var inbox: [UInt8] = []
  var hasEnd = false
  var isConnecting = false
  var error: Int32 = 0
  var user: Int32 = 1000
  /// What becomes of what the daemon sends, and of its end.
  var heard: ([UInt8]) -> Void = { _ in }
  var ended: () -> Void = {}

  override func readiness() -> UInt32 {
    guard !isConnecting else { return 0 }
    var bits = Ready.output
    if !inbox.isEmpty || hasEnd { bits |= Ready.input }
    if hasEnd { bits |= Ready.ended }
    if error != 0 { bits |= Ready.error | Ready.hangUp | Ready.input | Ready.ended }
    return bits
  }

  func arrive(_ bytes: [UInt8]) {
    inbox += bytes
    changed()
  }

  func arriveEnd() {
    hasEnd = true
    changed()
  }

  func fail(_ code: Int32) {
    isConnecting = false
    error = code
    changed()
  }

  func connect() -> Int32 {
    if error != 0 { return error }
    return isConnecting ? Code.already : 0
  }

  override func receive(_ bytes: UnsafeMutableRawPointer, _ limit: Int) -> Int {
    guard !inbox.isEmpty else {
      if error != 0 { return Int(error) }
      return hasEnd ? 0 : Int(Code.wouldBlock)
    }
    let count = min(limit, inbox.count)
    inbox.withUnsafeBytes { bytes.copyMemory(from: $0.baseAddress!, byteCount: count) }
    inbox.removeFirst(count)
    sim.progress()
    return count
  }

  override func send(_ bytes: UnsafeRawPointer, _ count: Int, isHeldBack: Bool) -> Int {
    if error != 0 { return Int(error) }
    guard !isConnecting else { return Int(Code.wouldBlock) }
    sim.progress()
    heard(Array(UnsafeRawBufferPointer(start: bytes, count: count)))
    return count
  }

  override func close() { ended() }
}
