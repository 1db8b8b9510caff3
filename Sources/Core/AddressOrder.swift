// In which order the addresses of a name are tried: families in turn, load spread over equals, what
// failed lately last. Reads no clock.

/// Addresses that failed lately, or were too slow to win.
public struct AddressPenalties: Sendable {
  /// Long enough that a broken family is not tried first by every client, short enough that an
  /// address that is well again is used again soon.
  static let time = Nanoseconds.seconds(30)
  static let capacity = 32

  private struct Entry {
    var address: IPAddress
    var until: Instant
  }

  private var entries: [Entry] = []

  public init() {}

  @inline(never) public mutating func add(_ address: IPAddress, now: Instant) {
    entries.removeAll { $0.until <= now || $0.address == address }
    if entries.count == Self.capacity { entries.removeFirst() }
    entries.append(Entry(address: address, until: now + Self.time))
  }

  public mutating func clear(_ address: IPAddress) {
    if !entries.isEmpty { entries.removeAll { $0.address == address } }
  }

  func has(_ address: IPAddress, now: Instant) -> Bool {
    entries.contains { $0.address == address && now < $0.until }
  }
}

/// The order in which to try `addresses`. `isListed`: a person put them into their order; else each
/// family is rotated by `rotation`, and the two take turns, IPv6 first (RFC 8305, section 4).
public func raceOrder(
  _ addresses: [IPAddress], isListed: Bool, rotation: Int, penalties: AddressPenalties,
  now: Instant
) -> [IPAddress] {
  guard addresses.count > 1 else { return addresses }
  let well = addresses.filter { !penalties.has($0, now: now) }
  let failed = addresses.filter { penalties.has($0, now: now) }
  // Each rotated by itself: the next in line would get all the load of one that failed.
  return isListed ? well + failed : interleaved(well, rotation) + interleaved(failed, rotation)
}

private func interleaved(_ addresses: [IPAddress], _ rotation: Int) -> [IPAddress] {
  let ipv6 = addresses.filter { !$0.isIPv4 }
  let ipv4 = addresses.filter { $0.isIPv4 }
  var ordered: [IPAddress] = []
  for index in 0..<max(ipv6.count, ipv4.count) {
    if index < ipv6.count { ordered.append(ipv6[(index + rotation) % ipv6.count]) }
    if index < ipv4.count { ordered.append(ipv4[(index + rotation) % ipv4.count]) }
  }
  return ordered
}
