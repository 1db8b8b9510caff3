// One direction's decisions, step by step.
import Testing

@testable import Core

@Suite struct FlowTests {
  private let rules = FlowRules()
  private var buffer: Int { Int(rules.bufferBytes) }

  /// A flow whose source has something to read.
  private func readableFlow() -> Flow {
    var flow = Flow()
    flow.sourceMayRead(toTheEnd: false, isUrgent: false)
    return flow
  }

  private func send(_ count: Int, endFollows: Bool = false) -> Flow.Step {
    .send(offset: 0, count: count, endFollows: endFollows)
  }

  /// Performs the next step, which must be `step`.
  private func expect(
    _ step: Flow.Step, _ outcome: Flow.Outcome, _ flow: inout Flow,
    _ place: SourceLocation = #_sourceLocation
  ) {
    var left = rules.turnBytes
    let next = flow.next(rules, left: left)
    #expect(next == step, sourceLocation: place)
    flow.record(outcome, of: next, rules, left: &left)
  }

  /// As many full reads, each delivered whole.
  private func fillAndSend(_ times: Int, _ flow: inout Flow) {
    for _ in 0..<times {
      expect(.receive(limit: buffer), .moved(buffer), &flow)
      expect(send(buffer), .moved(buffer), &flow)
    }
  }

  @Test func aMessageCostsOneReceiveAndOneSend() {
    var flow = readableFlow()
    expect(.receive(limit: buffer), .moved(128), &flow)
    expect(send(128), .moved(128), &flow)
    #expect(flow.next(rules, left: 1) == .wait)
    #expect(flow.deliveredBytes == 128)
  }

  @Test func aMessageMayBePassedOnWithoutSteps() {
    var flow = readableFlow()
    #expect(flow.canPass(rules))
    flow.passed(128)
    #expect(!flow.canPass(rules) && flow.next(rules, left: 1) == .wait)
    #expect(flow.isAtRest && flow.deliveredBytes == 128)
    flow.sourceMayRead(toTheEnd: true, isUrgent: false)
    #expect(!flow.canPass(rules))
  }

  @Test func aShortReadProvesNothingOnceTheEndIsAnnounced() {
    var flow = readableFlow()
    flow.sourceMayRead(toTheEnd: true, isUrgent: false)
    expect(.receive(limit: buffer), .moved(128), &flow)
    expect(send(128, endFollows: true), .moved(128), &flow)
    expect(.receive(limit: buffer), .ended, &flow)
    expect(.endSending, .done, &flow)
    #expect(flow.isReleased)
  }

  @Test func anEndThatWasNoneIsForgotten() {
    var flow = readableFlow()
    flow.sourceMayRead(toTheEnd: true, isUrgent: false)
    expect(.receive(limit: buffer), .wouldBlock, &flow)
    flow.sourceMayRead(toTheEnd: false, isUrgent: false)
    expect(.receive(limit: buffer), .moved(128), &flow)
    expect(send(128), .moved(128), &flow)
    #expect(flow.isAtRest)
  }

  @Test func nothingWaitsForAnEndThatAnUrgentMarkMayStandBefore() {
    var flow = readableFlow()
    flow.sourceMayRead(toTheEnd: true, isUrgent: true)
    expect(.receive(limit: buffer), .moved(128), &flow)
    expect(send(128), .moved(128), &flow)
    #expect(flow.next(rules, left: 1) == .receive(limit: buffer))
  }

  @Test func whatAFullSocketLeavesIsSentWithoutWaitingForTheEnd() {
    var flow = readableFlow()
    flow.sourceMayRead(toTheEnd: true, isUrgent: false)
    expect(.receive(limit: buffer), .moved(1000), &flow)
    expect(send(1000, endFollows: true), .moved(300), &flow)
    expect(.stash(offset: 300, count: 700), .done, &flow)
    flow.targetMayWrite()
    expect(.sendStash(offset: 0, count: 700), .moved(700), &flow)
    expect(.receive(limit: buffer), .ended, &flow)
  }

  @Test func whatAFullSocketLeavesIsStashedAndSentFirst() {
    var flow = readableFlow()
    expect(.receive(limit: buffer), .moved(1000), &flow)
    expect(send(1000), .moved(300), &flow)
    expect(.stash(offset: 300, count: 700), .done, &flow)
    #expect(flow.next(rules, left: 1) == .wait)
    flow.targetMayWrite()
    expect(.sendStash(offset: 0, count: 700), .moved(200), &flow)
    #expect(flow.next(rules, left: 1) == .wait)
    flow.targetMayWrite()
    expect(.sendStash(offset: 200, count: 500), .moved(500), &flow)
    #expect(!flow.holdsStash)
    #expect(flow.deliveredBytes == 1000)
  }

  @Test func aShortReadTakesOneFullReadBack() {
    var flow = readableFlow()
    fillAndSend(Int(rules.promoteAfter) - 1, &flow)
    expect(.receive(limit: buffer), .moved(buffer - 1), &flow)
    expect(send(buffer - 1), .moved(buffer - 1), &flow)
    flow.sourceMayRead(toTheEnd: false, isUrgent: false)
    fillAndSend(2, &flow)
    #expect(flow.next(rules, left: 1) == .borrowPipe)
  }

  @Test func messagesOfOneFullReadAndAShortOneAreNoBulk() {
    var flow = readableFlow()
    for _ in 0..<100 {
      flow.passed(1)
      flow.sourceMayRead(toTheEnd: false, isUrgent: false)
      fillAndSend(1, &flow)
    }
    fillAndSend(Int(rules.promoteAfter) - 2, &flow)
    #expect(flow.next(rules, left: 1) == .receive(limit: buffer))
    fillAndSend(1, &flow)
    #expect(flow.next(rules, left: 1) == .borrowPipe)
  }

  @Test func aReadOfNothingTakesNoneBack() {
    var flow = readableFlow()
    fillAndSend(Int(rules.promoteAfter) - 1, &flow)
    expect(.receive(limit: buffer), .wouldBlock, &flow)
    flow.sourceMayRead(toTheEnd: false, isUrgent: false)
    fillAndSend(1, &flow)
    #expect(flow.next(rules, left: 1) == .borrowPipe)
  }

  @Test func fullReadsMakeAFlowBulk() {
    var flow = readableFlow()
    fillAndSend(Int(rules.promoteAfter), &flow)
    expect(.borrowPipe, .done, &flow)
    expect(.fillPipe(limit: Int(rules.fillBytes)), .moved(100_000), &flow)
    expect(.drainPipe(count: 100_000), .moved(60_000), &flow)
    expect(.drainPipe(count: 40_000), .wouldBlock, &flow)
    #expect(flow.next(rules, left: 1) == .wait)
  }

  @Test func twoSmallFillsMakeItSmallAgain() {
    var flow = readableFlow()
    fillAndSend(Int(rules.promoteAfter), &flow)
    expect(.borrowPipe, .done, &flow)
    for _ in 0..<2 {
      expect(.fillPipe(limit: Int(rules.fillBytes)), .moved(100), &flow)
      expect(.drainPipe(count: 100), .moved(100), &flow)
    }
    expect(.returnPipe, .done, &flow)
    #expect(flow.next(rules, left: 1) == .receive(limit: buffer))
  }

  @Test func anEmptyPipeIsGivenBackBeforeWaiting() {
    var flow = readableFlow()
    fillAndSend(Int(rules.promoteAfter), &flow)
    expect(.borrowPipe, .done, &flow)
    expect(.fillPipe(limit: Int(rules.fillBytes)), .wouldBlock, &flow)
    expect(.returnPipe, .done, &flow)
    #expect(flow.next(rules, left: 1) == .wait)
  }

  @Test func aSpliceOfNothingIsNoEndBeforeARecvSaysSo() {
    var flow = readableFlow()
    fillAndSend(Int(rules.promoteAfter), &flow)
    expect(.borrowPipe, .done, &flow)
    expect(.fillPipe(limit: Int(rules.fillBytes)), .ended, &flow)
    expect(.returnPipe, .done, &flow)
    expect(.receive(limit: buffer), .moved(5), &flow)
    expect(send(5), .moved(5), &flow)
    #expect(flow.next(rules, left: 1) == .wait)
  }

  @Test func withoutAPipeCopyingGoesOn() {
    var flow = readableFlow()
    fillAndSend(Int(rules.promoteAfter), &flow)
    expect(.borrowPipe, .refused, &flow)
    fillAndSend(Int(rules.promoteAfter), &flow)
    #expect(flow.next(rules, left: 1) == .borrowPipe)
  }

  @Test func aFlowThatUsedItsTurnYieldsToOthers() {
    var left = Int32(buffer)
    var flow = readableFlow()
    for step in [Flow.Step.receive(limit: buffer), send(buffer)] {
      #expect(flow.next(rules, left: left) == step)
      flow.record(.moved(buffer), of: step, rules, left: &left)
    }
    #expect(left == 0)
    #expect(flow.next(rules, left: left) == .yield)
    #expect(flow.next(rules, left: 1) == .receive(limit: buffer))
  }

  @Test func anUrgentMarkEndsSplicing() {
    var flow = readableFlow()
    fillAndSend(Int(rules.promoteAfter), &flow)
    flow.sourceMayRead(toTheEnd: false, isUrgent: true)
    #expect(flow.next(rules, left: 1) == .receive(limit: buffer))
  }

  @Test func aFailedSourceIsReadToItsEndAndNeverEndsInOrder() {
    var flow = readableFlow()
    flow.sourceHasFailed()
    expect(.receive(limit: buffer), .moved(10), &flow)
    expect(send(10), .moved(10), &flow)
    expect(.receive(limit: buffer), .ended, &flow)
    #expect(flow.next(rules, left: 1) == .wait)
    #expect(flow.isReleased)
    #expect(flow.progress == .broken)
  }

  @Test func whatIsHeldForADeadTargetIsDiscarded() {
    var flow = readableFlow()
    expect(.receive(limit: buffer), .moved(10), &flow)
    flow.breakOff()
    expect(.discard, .done, &flow)
    #expect(flow.isReleased)
  }
}
