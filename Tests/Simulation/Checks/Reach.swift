// Which states the schedules come to: a test that never comes to one proves nothing about it.

enum Reach: Int, CaseIterable {
  case abortedInBacklog, attemptCalledOff, awaitedDelivery, bothEnded, bytesAfterClose
  case closedWindow, connectionLimit, controlTaken, delayedEvent, descriptorsUsedUp
  case drainCut, endedByChange, exclusiveWake, fullSocket, halfClosed, idleReset
  case interruptedWait, lie, metricsPage, nameMoved, noMemory, noMemoryToDial, noSplice
  case peerVanished, pipe, pipeDiscarded, pipeFullBySlots, probeAbsorbed, questionByTCP
  case questionBudget, quotaRefused, refused, refusedClient, resetAfterHalfClose, resetPassedOn
  case resetUnconnected, secondSignal, settled, shortSend, shortSplice, shortage
  case silentServer, silentTarget, spliced, spuriousEvent, stalledOutput, stashed, statusAtRest
  case stoppedMidway, targetResets, targetsChanged, truncated, urgentMark, urgentSent
  case watchRefused, watchRefusedNearby, wholeBothWays, loopback, heldForTheEnd
  case acknowledgedWithBytes, stoodStill
}

extension Schedule {
  @inline(__always)
  func reach(_ state: Reach) { reached |= 1 << UInt64(state.rawValue) }
}
