// What must hold in a NameSimulation, whatever the servers do.
@testable import Core

extension NameSimulation {
  /// A new answer has only addresses that were true, for no longer than they may be used.
  func checkPublication(_ index: Int) throws {
    let name = names[index]
    let answer = name.record.answer
    switch answer.failure {
    case nil:
      guard !answer.addresses.isEmpty else { throw failure("no address", index) }
      try check(answer, index)
    case .nameServersFailed:
      guard name.goodUntil <= now else { throw failure("nothing stands in", index) }
    case .nameNotFound, .nameWithoutAddress:
      guard answer.startedAt <= name.deniedAt else { throw failure("nobody denied it", index) }
    case _: throw failure("not a failure of names", index)
    }
    guard answer.failure == nil || answer.addresses.isEmpty else {
      throw failure("both addresses and a failure", index)
    }
  }

  private func check(_ answer: NameAnswer, _ index: Int) throws {
    for address in answer.addresses {
      let isTrue = names[index].believed.contains { believed in
        guard believed.truth.addresses.contains(address) else { return false }
        let end = end(of: believed)
        if answer.isStale { return answer.usableUntil <= end + Self.staleLimit }
        return answer.startedAt <= believed.truth.asked && answer.usableUntil <= end
      }
      guard isTrue else { throw failure("\(address) is not true, or not for so long", index) }
    }
  }

  /// A client goes by the answer on the board.
  func checkUse(_ index: Int) throws {
    let answer = names[index].board
    try check(answer, index)
    for address in answer.addresses {
      let last = names[index].believed.filter { $0.truth.addresses.contains(address) }
        .map { end(of: $0) }.max { $0 < $1 }!
      guard now < (answer.isStale ? last + Self.staleLimit : last) else {
        throw failure("\(address) is used after its time", index)
      }
    }
  }

  /// Its time to live, within the bounds of the issue: 1 s to 300 s.
  func end(of believed: (truth: Truth, at: Instant)) -> Instant {
    believed.at + .seconds(max(1, min(300, Int64(believed.truth.ttl))))
  }

  /// What is owed by now, as time has just come to be `now`.
  func checkPromises() throws {
    let longest = Self.limit + .seconds(1)
    for (index, name) in names.enumerated() {
      if let lookup = name.record.lookup, lookup.startedAt + Self.limit < now {
        throw failure("a lookup takes too long", index)
      }
      if let owed = name.owedSince, owed + longest < now { throw failure("stalled", index) }
      // The lookup under way may have begun too early for it.
      if let wait = name.waiting.first, wait.at + longest + longest < now {
        throw failure("a client is never served", index)
      }
    }
  }

  func failure(_ text: String, _ index: Int) -> SimulationFailure {
    let name = names[index]
    return SimulationFailure(
      text: """
        \(text): name \(index) at \(now), \(name.record.answer), on the board \(name.board), \
        believed \(name.believed), \(name.waiting.count) waiting
        """)
  }
}

extension Nanoseconds {
  fileprivate static func + (left: Self, right: Self) -> Self {
    Nanoseconds(count: left.count + right.count)
  }
}
