// Where the resolver leaves its answers and the workers leave their wishes, without a lock: one
// cell for each name, however many forwards lead to it.
import Core
import Synchronization

final class NameBoard: Sendable {
  /// The targets' names, each once.
  let cells: [NameCell]
  /// The cell of each forward; nil for a target that is never looked up.
  private let cellOfForward: [Int?]

  init(_ settings: Settings) {
    var cells: [NameCell] = []
    cellOfForward = settings.forwards.map { forward in
      guard case .name(let name) = forward.target.kind, !isLocalhost(name) else { return nil }
      let isAbsolute = forward.target.host.last == UInt8(ascii: ".")
      let known = cells.firstIndex { $0.name == name && $0.isAbsolute == isAbsolute }
      if known == nil { cells.append(NameCell(name: name, isAbsolute: isAbsolute)) }
      return known ?? cells.count - 1
    }
    self.cells = cells
  }

  func cell(ofForward forward: Int) -> Int? { cellOfForward[forward] }
}

/// One name's latest answer, written by one thread and read by all. A sequence lock: readers copy
/// words and look at the version before and after.
final class NameCell: @unchecked Sendable {
  let name: [UInt8]
  let isAbsolute: Bool

  /// An answer is needed from a lookup that began at this time or later; `noDemand` if none is.
  let demandedSince = Atomic<Int64>(noDemand)
  /// Workers to be woken by the next answer, a bit each.
  let waitingWorkers = Atomic<UInt64>(0)
  /// Whether a connection went by the answer since it was written.
  let isUsed = Atomic<Bool>(false)
  /// Established connections; counted only where a change of the name ends some of them.
  let connections = Atomic<Int>(0)
  /// Counts the times at which addresses had gone.
  let retirements = Atomic<UInt32>(0)

  static let noDemand = Int64.min

  // Odd while it is being written.
  private let version = Atomic<UInt64>(0)
  private let words: UnsafeMutablePointer<Atomic<UInt64>>

  private static let headerWords = 5
  private static let maxLasting = 2 * HostsFile.maxAddresses
  private static let addressWords = 2 * 2 * HostsFile.maxAddresses
  private static let wordCount = headerWords + addressWords + 2 * maxLasting

  init(name: [UInt8], isAbsolute: Bool) {
    self.name = name
    self.isAbsolute = isAbsolute
    words = .allocate(capacity: Self.wordCount)
    for index in 0..<Self.wordCount { (words + index).initialize(to: Atomic(0)) }
    write(NameAnswer(), lasting: [])
  }

  // There for as long as the process.
  deinit { words.deallocate() }

  /// Even when nothing is being written; changes with every answer.
  var currentVersion: UInt64 { version.load(ordering: .acquiring) }

  // MARK: The resolver's side

  /// What does not fit is cut off: a name has 32 addresses in each family at most.
  func write(_ answer: NameAnswer, lasting: [IPAddress]) {
    let start = version.load(ordering: .relaxed)
    version.store(start + 1, ordering: .relaxed)
    let addresses = answer.addresses.prefix(Self.addressWords / 2)
    // A list that is cut off must not make anybody leave.
    let kept = lasting.count <= Self.maxLasting ? lasting : []
    set(0, UInt64(bitPattern: answer.startedAt.nanoseconds))
    set(1, UInt64(bitPattern: answer.freshUntil.nanoseconds))
    set(2, UInt64(answer.isListed ? 1 : 0) | UInt64(answer.isStale ? 2 : 0) | code(answer.failure))
    set(3, UInt64(addresses.count) | UInt64(kept.count) << 32)
    set(4, UInt64(bitPattern: answer.usableUntil.nanoseconds))
    write(addresses, at: Self.headerWords)
    write(kept[...], at: Self.headerWords + Self.addressWords)
    version.store(start + 2, ordering: .releasing)
  }

  private func write(_ addresses: ArraySlice<IPAddress>, at start: Int) {
    var index = start
    for address in addresses {
      set(index, address.high)
      set(index + 1, address.low)
      index += 2
    }
  }

  // Releasing: whoever sees a new word sees the odd version, too.
  private func set(_ index: Int, _ word: UInt64) { words[index].store(word, ordering: .releasing) }

  // MARK: The workers' side

  /// The answer and its version; nil while another is being written, which wakes those who wait.
  func read() -> (answer: NameAnswer, version: UInt64)? {
    let before = currentVersion
    guard before & 1 == 0 else { return nil }
    var answer = NameAnswer()
    answer.startedAt = Instant(nanoseconds: Int64(bitPattern: get(0)))
    answer.freshUntil = Instant(nanoseconds: Int64(bitPattern: get(1)))
    answer.usableUntil = Instant(nanoseconds: Int64(bitPattern: get(4)))
    answer.isListed = get(2) & 1 != 0
    answer.isStale = get(2) & 2 != 0
    answer.failure = failure(get(2))
    answer.addresses = read(Int(get(3) & 0xffff), at: Self.headerWords)
    return version.load(ordering: .relaxed) == before ? (answer, before) : nil
  }

  /// The addresses that connections may stay with; nil when they are unknown, or too many. Writing
  /// takes less than a microsecond, and is waited for.
  func readLasting() -> [IPAddress]? {
    while true {
      let before = currentVersion
      guard before & 1 == 0 else { continue }
      let lasting = read(Int(get(3) >> 32), at: Self.headerWords + Self.addressWords)
      guard version.load(ordering: .relaxed) == before else { continue }
      return lasting.isEmpty ? nil : lasting
    }
  }

  private func read(_ count: Int, at start: Int) -> [IPAddress] {
    var addresses: [IPAddress] = []
    for index in 0..<min(count, Self.maxLasting) {
      let place = start + 2 * index
      addresses.append(IPAddress(high: get(place), low: get(place + 1)))
    }
    return addresses
  }

  // Acquiring: the version is read again after it.
  private func get(_ index: Int) -> UInt64 { words[index].load(ordering: .acquiring) }

  /// Asks for an answer from a lookup that began at `since` or later, to be woken by it. The caller
  /// signals the supervisor.
  func demand(since: Instant, worker: Int) {
    waitingWorkers.bitwiseOr(1 << UInt64(worker), ordering: .sequentiallyConsistent)
    demandedSince.max(since.nanoseconds, ordering: .sequentiallyConsistent)
  }

  // MARK: Failures as numbers

  private func code(_ failure: Failure?) -> UInt64 {
    switch failure {
    case nil: 0
    case .nameNotFound: 4
    case .nameWithoutAddress: 8
    case _: 12
    }
  }

  private func failure(_ word: UInt64) -> Failure? {
    switch word & 12 {
    case 4: .nameNotFound
    case 8: .nameWithoutAddress
    case 12: .nameServersFailed
    case _: nil
    }
  }
}
