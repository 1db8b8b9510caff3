// Many connections at once, all of them served from one thread, as a daemon would.
import Foundation

/// One end of many connections. Each member sends a stream of its own and receives its partner's.
final class Crowd: @unchecked Sendable {
  private struct Member {
    let peer: Peer
    let sending: TestBytes
    let receiving: TestBytes
    var sent = 0
    var received = 0
    var hasEnded = false
  }

  private var members: [Member]
  private let count: Int
  private var buffer = [UInt8](repeating: 0, count: 64 * kibibyte)

  /// Members at the same place in two crowds are partners if `seed` of one is `partnerSeed` of the
  /// other. Each sends `count` bytes.
  init(_ peers: [Peer], seed: UInt64, partnerSeed: UInt64, count: Int) {
    members = peers.enumerated().map { number, peer in
      Member(
        peer: peer, sending: TestBytes(seed: seed + UInt64(number)),
        receiving: TestBytes(seed: partnerSeed + UInt64(number)))
    }
    self.count = count
  }

  /// Sends and never reads, until nothing moves any more: all that can hold bytes is full.
  func jam() throws {
    while try turn(reading: false, waiting: .milliseconds(300)) {}
  }

  /// How many bytes all members have sent.
  var totalSent: Int { members.reduce(0) { $0 + $1.sent } }

  /// Sends and reads until every member has sent its bytes and received its partner's to the end.
  func finish(within span: Duration = patience * 2) throws {
    let deadline = Deadline(after: span)
    while !members.allSatisfy({ $0.hasEnded && $0.sent == count }) {
      _ = try turn(reading: true, waiting: .seconds(1))
      if deadline.hasPassed {
        let open = members.count { !$0.hasEnded }
        throw Failure("\(open) of \(members.count) connections unfinished after \(span)")
      }
    }
  }

  /// One poll(2) over all members; false when none of them was ready in time.
  private func turn(reading: Bool, waiting: Duration) throws -> Bool {
    var hints = members.map { member in
      let wanted = (member.sent < count ? POLLOUT : 0) | (reading ? POLLIN : 0)
      let isIdle = wanted == 0 || (member.hasEnded && member.sent == count)
      return pollfd(
        fd: isIdle ? -1 : member.peer.socket.descriptor, events: Int16(wanted), revents: 0)
    }
    let ready = poll(&hints, nfds_t(hints.count), Int32(waiting / .milliseconds(1)))
    guard try checked("poll", ready) > 0 else { return false }
    for number in members.indices where hints[number].revents != 0 {
      if hints[number].revents & Int16(POLLOUT) != 0 { try send(number) }
      if reading && hints[number].revents & Int16(POLLIN | POLLERR | POLLHUP) != 0 {
        try receive(number)
      }
    }
    return true
  }

  private func send(_ number: Int) throws {
    let member = members[number]
    let sent = member.sending.withPiece(at: member.sent, count: count - member.sent) { piece in
      Glibc.send(
        member.peer.socket.descriptor, piece.baseAddress!, piece.count,
        Int32(MSG_NOSIGNAL | MSG_DONTWAIT))
    }
    if sent < 0 && errno == EAGAIN { return }
    members[number].sent += try checked("connection \(number): send", sent)
    if members[number].sent == count { try member.peer.finishSending() }
  }

  private func receive(_ number: Int) throws {
    let member = members[number]
    guard !member.hasEnded else { return }
    let received = recv(
      member.peer.socket.descriptor, &buffer, buffer.count, Int32(MSG_DONTWAIT))
    if received < 0 && errno == EAGAIN { return }
    if try checked("connection \(number): receive", received) == 0 {
      guard member.received == count else {
        throw Failure("connection \(number) ended after \(member.received) of \(count) bytes")
      }
      members[number].hasEnded = true
    } else {
      try buffer.withUnsafeBytes { bytes in
        let piece = UnsafeRawBufferPointer(rebasing: bytes[..<received])
        try member.receiving.check(piece, at: member.received)
      }
      members[number].received += received
    }
  }
}

/// Lifts the limit for descriptors of the tests' own process as far as it may be.
func raiseDescriptorLimit() throws {
  var limit = rlimit()
  try checked("getrlimit", getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit))
  limit.rlim_cur = limit.rlim_max
  try checked("setrlimit", setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit))
}
